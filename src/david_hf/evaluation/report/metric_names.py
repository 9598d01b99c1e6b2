"""What every metric of the suite is called, and how its values are written."""

from typing import NamedTuple


class MetricName(NamedTuple):
    """A metric for people.

    Attributes:
        title: Its full name, with the unit.
        label: Its short name, for axes and headers.
        unit: Unit of the values as `format` writes them; "" for none.
        digits: Digits after the point.
        higher_is_better: Which way is better; None if that is not known.
    """

    title: str
    label: str
    unit: str = ""
    digits: int = 4
    higher_is_better: bool | None = False

    @property
    def scale(self) -> float:
        """What a value is multiplied by before it is shown: shares are shown in per cent."""
        return 100.0 if self.unit == "%" else 1.0

    @property
    def header(self) -> str:
        """Short name, unit, and the direction that is better."""
        arrow = {True: "\N{NO-BREAK SPACE}↑", False: "\N{NO-BREAK SPACE}↓", None: ""}
        unit = f" ({self.unit})" if self.unit else ""
        return f"{self.label}{unit}{arrow[self.higher_is_better]}"

    def format(self, value: float) -> str:
        """Write a value, without its unit."""
        return f"{value * self.scale:.{self.digits}f}"


METRICS = {
    "alpha_iou": MetricName("IoU of the foreground at 0.5", "IoU", higher_is_better=True),
    "alpha_mad": MetricName("MAD of the foreground, per pixel", "MAD"),
    "alpha_mse": MetricName("MSE of the foreground, per pixel", "MSE"),
    "alpha_sad": MetricName("SAD of the foreground, thousands", "SAD", digits=2),
    "alpha_grad_p3m": MetricName("gradient error of the foreground, as P3M", "Grad", digits=2),
    "alpha_grad_rhemann": MetricName(
        "gradient error of the foreground, as Rhemann et al.", "Grad (Rhemann)", digits=2
    ),
    "alpha_conn": MetricName("connectivity error of the foreground, thousands", "Conn", digits=2),
    "alpha_sad_t": MetricName("SAD where the trimap is open, thousands", "SAD-T", digits=2),
    "alpha_mse_t": MetricName("MSE where the trimap is open, per pixel", "MSE-T"),
    "alpha_mad_t": MetricName("MAD where the trimap is open, per pixel", "MAD-T"),
    "alpha_sad_fg": MetricName("SAD of the trimap's foreground, thousands", "SAD-FG", digits=2),
    "alpha_sad_bg": MetricName("SAD of the trimap's background, thousands", "SAD-BG", digits=2),
    "normals_mean_deg": MetricName("mean angular error, degrees", "mean", "°", 2),
    "normals_median_deg": MetricName("median angular error, degrees", "median", "°", 2),
    "normals_rmse_deg": MetricName("RMS angular error, degrees", "RMS", "°", 2),
    **{
        f"normals_under_{limit}": MetricName(
            f"share of normals within {limit} degrees", f"< {limit}°", "%", 1, True
        )
        for limit in ("5", "7.5", "11.25", "22.5", "30")
    },
    "depth_rmse_m": MetricName("RMSE of aligned depth, metres", "RMSE", "m"),
    "depth_abs_rel": MetricName("AbsRel of aligned depth", "AbsRel"),
    "depth_sq_rel": MetricName("SqRel of aligned depth, metres", "SqRel", "m"),
    "depth_log10": MetricName("mean error of log10 of aligned depth", "log10"),
    "depth_silog": MetricName("SILog of aligned depth", "SILog", digits=2),
    "depth_delta1": MetricName(
        "share of aligned depth within a ratio of 1.25", "δ1", higher_is_better=True
    ),
    "depth_delta2": MetricName(
        "share of aligned depth within a ratio of 1.25²", "δ2", higher_is_better=True
    ),
    "depth_delta3": MetricName(
        "share of aligned depth within a ratio of 1.25³", "δ3", higher_is_better=True
    ),
    "depth_rank": MetricName("rank correlation of depth (Spearman)", "rank", higher_is_better=True),
    "depth_boundary_f1": MetricName(
        "F1 of the edges of aligned depth", "edge F1", higher_is_better=True
    ),
}

# How the paper's tables call what they print in other units.
_PAPER = {
    "rmse_dm": METRICS["depth_rmse_m"]._replace(unit="dm"),
    "rmse_mixed": METRICS["depth_rmse_m"]._replace(unit="dm, m"),
}


def metric_name(task: str, metric: str) -> MetricName:
    """The name of a metric of a task; that of the program for one without."""
    known = METRICS.get(f"{task}_{metric}")
    return known or MetricName(metric.replace("_", " "), metric, higher_is_better=None)


def paper_metric_name(metric: str) -> MetricName:
    """The name of a metric in the paper's tables, which do not say the task."""
    if metric in _PAPER:
        return _PAPER[metric]
    return next(name for key, name in METRICS.items() if key.partition("_")[2] == metric)
