"""Videos in and out: sources, the pipeline to the device, transforms on it, and media files."""
