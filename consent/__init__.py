"""What did this person allow, and does it still hold?"""
