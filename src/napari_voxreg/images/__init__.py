"""What happens to pixels before a method sees them."""
