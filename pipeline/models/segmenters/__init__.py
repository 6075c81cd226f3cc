"""Segmenters, a module each with ``run(model, batch)``: for each picture all masks and their predicted IoU."""
