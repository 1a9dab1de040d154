"""Chapter 6, Loss (损失) and softmax stability."""
