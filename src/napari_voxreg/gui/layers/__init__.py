"""Between napari's layers and images: snapshots, readers, writers, result layers."""
