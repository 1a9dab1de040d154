"""Chapter 5, Attention, GQA and the KV cache (注意力)."""
