"""Chapter 10, Memmap data (内存映射数据)."""
