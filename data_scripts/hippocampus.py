"""Get the hippocampus MR volumes: Task04 of the Medical Segmentation Decathlon, tens of megabytes.

Downloads the archive, checks its MD5 and unpacks it. Without a network here: download Task04_Hippocampus.tar from
medicaldecathlon.com with a browser and give it as --archive. Terms and citation: book/data.md.
"""

from decathlon import main

if __name__ == "__main__":
    main("hippocampus", "Task04_Hippocampus", __doc__)
