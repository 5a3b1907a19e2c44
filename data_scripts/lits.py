"""Get LiTS, abdominal CT with liver and tumours: Task03 of the Medical Segmentation Decathlon, tens of gigabytes.

Downloads the archive, checks its MD5 and unpacks it. Without a network here: download Task03_Liver.tar from
medicaldecathlon.com with a browser and give it as --archive. Terms and citation: book/data.md.
"""

from decathlon import main

if __name__ == "__main__":
    main("lits", "Task03_Liver", __doc__)
