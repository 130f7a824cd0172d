"""Systems with a kernel between points: plan, solvers, and a solution that serves again."""
