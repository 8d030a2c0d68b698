"""The picture of an evaluation that the dashboard shows."""

import io
import json


# Long: one drawing, in the order of its parts.
def evaluation_picture(report_path: str, target: str) -> None:
    """Draw an evaluation for people: scores beside those of the others, calibration, and each country's gain.

    Args:
        report_path: The JSON file that ``evaluate`` wrote.
        target: The file to write: PNG or SVG by its ending; otherwise an HTML page.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with open(report_path, encoding="utf-8") as file:
        report = json.load(file)
    metrics, countries = report["metrics"], report["per_country"]
    others = {"": "this model", "previous_": "previous version", "prior_": "prior", "memorised_": "memorised songs"}
    others = {who: name for who, name in others.items() if who + "log_loss" in metrics}
    colours = {"": "#0b6e99", "previous_": "#7fb7cc", "prior_": "#b8b8b8", "memorised_": "#e0a458"}

    figure = Figure(figsize=(11, 7), layout="constrained")
    FigureCanvasAgg(figure)
    verdict = "passes the gate" if report["gate"]["passed"] else "is refused by the gate"
    figure.suptitle(f"This model {verdict}: {report['held-out songs']} songs it has not seen", fontsize=13)
    top, loss, sure, gain = figure.subplots(2, 2).ravel()
    for place, (who, name) in enumerate(others.items()):
        heights = [100 * metrics[who + metric] for metric in ("top1", "top5")]
        bars = top.bar([place / 5, 1 + place / 5], heights, 0.18, label=name, color=colours[who])
        top.bar_label(bars, fmt="%.1f", fontsize=8)
        loss.bar_label(loss.bar(name, metrics[who + "log_loss"], 0.6, color=colours[who]), fmt="%.3f", fontsize=8)
    top.set(title="Right country among the first (% of rows)", xticks=[0.2, 1.2], xticklabels=["1", "5"])
    top.legend(fontsize=8, frameon=False)
    lowest = min(metrics[who + "log_loss"] for who in others)
    loss.set(title="Log-loss, nats (lower is better; the axis is cut)", ylim=(max(0.0, lowest - 0.5), None))
    loss.tick_params(axis="x", labelsize=8)
    confidence = [100 * one["confidence"] for one in report["calibration"]]
    right = [100 * one["right"] for one in report["calibration"]]
    limit = max(confidence + right) * 1.1
    sure.plot([0, limit], [0, limit], color="#b8b8b8", linewidth=1)
    sure.plot(confidence, right, "o-", color=colours[""])
    sure.set(title="Calibration of the first choice", xlabel="how sure (%)", ylabel="how often right (%)")
    gains = {country: one["prior_log_loss"] - one["log_loss"] for country, one in countries.items()}
    order = sorted(gains, key=lambda country: (-gains[country], country))
    gain.bar(order, [gains[c] for c in order], color=[colours["" if gains[c] > 0 else "memorised_"] for c in order])
    gain.set(title="Better than the prior by country (nats)")
    gain.tick_params(axis="x", labelsize=max(3, min(9, 300 // len(order))), rotation=90)
    for axes in (top, loss, sure, gain):
        axes.spines[["top", "right"]].set_visible(False)

    kind = target.rsplit(".", 1)[-1].lower()
    # A fixed salt and no date: the same report gives the same bytes. Text stays text.
    with matplotlib.rc_context({"svg.hashsalt": "jukebox", "svg.fonttype": "none"}):
        if kind == "png":
            figure.savefig(target, dpi=120, metadata={"Software": None})
            return
        drawing = io.StringIO()
        figure.savefig(drawing, format="svg", metadata={"Date": None})
    svg = drawing.getvalue()
    with open(target, "w", encoding="utf-8") as file:
        page = f"<!DOCTYPE html><meta charset=utf-8><title>Evaluation</title>{svg[svg.index('<svg') :]}"
        file.write(svg if kind == "svg" else page)
