"""DICOM pictures: read, decoded, and shown through a window."""
