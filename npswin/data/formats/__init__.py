"""Data sets of dense tasks in files: COCO's JSON, Pascal VOC's XML, images with label images; and COCO's results.

Each reader checks all annotations before it returns, and reports everything that is wrong in one `AnnotationError`.
"""
