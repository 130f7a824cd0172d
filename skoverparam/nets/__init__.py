"""Small networks in torch: how they are built, what they minimize, and how they are trained."""
