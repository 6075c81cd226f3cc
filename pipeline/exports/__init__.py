"""What is handed on: other programs' layouts, papers, tables, and single pictures made again."""
