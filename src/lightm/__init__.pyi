from lightm.inference import load as load
from lightm.models import build_model as build_model
from lightm.models import list_models as list_models
from lightm.models.unet import LightMUNet as LightMUNet
from lightm.scan import selective_scan as selective_scan

__version__: str
