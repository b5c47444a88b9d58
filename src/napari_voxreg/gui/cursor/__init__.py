"""What a result does at the place under the cursor."""
