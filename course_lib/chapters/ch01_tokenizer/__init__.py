"""Chapter 1, Tokenizer (分词器)."""
