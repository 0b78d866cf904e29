"""What runs inside the image beside Memoline itself."""
