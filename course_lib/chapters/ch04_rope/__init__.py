"""Chapter 4, RoPE (旋转位置编码)."""
