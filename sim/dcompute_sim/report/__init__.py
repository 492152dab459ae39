"""What people and machines read after a run; pure functions of scenario and trace."""
