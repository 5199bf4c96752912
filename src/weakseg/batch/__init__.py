"""A folder, a list or a tar of photos to masks and a COCO file: through the endpoint, or in this process.

``sources`` finds photos, ``run`` sends them by a backend (``endpoint`` or ``in_process``), ``outputs`` writes what
comes back, ``journal`` remembers what is done, and ``coco`` and ``summary`` are made of the journal at the end.
"""
