"""What pages display: figures and sliders, drawings of networks, the package's own source."""
