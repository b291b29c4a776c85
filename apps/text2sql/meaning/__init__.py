"""What a query means, whatever it looks like: resolved names, canonical form, words, mutations."""
