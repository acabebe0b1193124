"""Look inside a recurrent network: gradients, Jacobians, Lyapunov exponents, gates, fixed points, memory. And plots.

Each function returns arrays, and has a plot function for them, which draws on `ax` or on a new figure and returns the
axes. matplotlib is imported by the first plot.
"""

from jaxrnn.diagnostics._fixed_points import FixedPoints, fixed_points, plot_fixed_points
from jaxrnn.diagnostics._gates import gate_trace, plot_gate_trace
from jaxrnn.diagnostics._gradients import gradient_norms, plot_gradient_norms
from jaxrnn.diagnostics._jacobians import (
    Spectrum,
    jacobian_norms,
    jacobians,
    plot_eigenvalues,
    plot_jacobian_norms,
    plot_singular_values,
    spectrum,
)
from jaxrnn.diagnostics._lyapunov import LyapunovExponents, lyapunov_exponents, plot_lyapunov_exponents
from jaxrnn.diagnostics._memory import MemoryCurve, memory_curve, plot_memory_curve

__all__ = [
    "FixedPoints",
    "LyapunovExponents",
    "MemoryCurve",
    "Spectrum",
    "fixed_points",
    "gate_trace",
    "gradient_norms",
    "jacobian_norms",
    "jacobians",
    "lyapunov_exponents",
    "memory_curve",
    "plot_eigenvalues",
    "plot_fixed_points",
    "plot_gate_trace",
    "plot_gradient_norms",
    "plot_jacobian_norms",
    "plot_lyapunov_exponents",
    "plot_memory_curve",
    "plot_singular_values",
    "spectrum",
]
