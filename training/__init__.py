"""Everything that makes weights: data sets, recipes, loops. Imports weakseg; weakseg never imports this."""
