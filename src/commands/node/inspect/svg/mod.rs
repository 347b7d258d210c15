//! A report as a picture: NUMA nodes, in them root complexes, in them IOMMU groups, in them devices, coloured by verdict.
//!
//! Written by hand, without anything from elsewhere in it (no script, no font, no link), so that it can be mailed and put on any page. It
//! paints its own background, a dark one for who asks for that.

mod cards;
mod flow;
mod pen;
mod places;
mod style;

use super::report::{Report, Verdict};
use super::words::count;
use crate::host::InterruptRemapping;
use flow::Flow;
use pen::Pen;

/// Width of the picture.
const WIDTH: u32 = 1208;
/// Room around everything.
const MARGIN: u32 = 24;
/// Room within a box, and between boxes.
const GAP: u32 = 12;

/// The picture.
pub(super) fn picture(report: &Report) -> String {
    let mut pen = Pen::default();
    let mut y = headline(&mut pen, report, MARGIN);
    y = legend(&mut pen, report, y + 4);
    let (nodes, left_out) = places::nodes(report);
    for node in &nodes {
        y = numa_node(&mut pen, report, node, y + GAP);
    }
    if nodes.is_empty() {
        y += 28;
        pen.text(MARGIN, y, "t", "There is no PCI device that could be handed over.");
    }
    if left_out > 0 {
        y += 26;
        let what = format!("{} with nothing but bridges and the like in them: not shown", count(left_out, "group"));
        pen.text(MARGIN, y, "t dim small", &what);
    }
    let height = y + MARGIN;
    let title = if report.ready { "This node is ready" } else { "This node is not ready" };
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n\
         <title>{title}</title>\n<style>\n{}</style>\n<rect class=\"page\" width=\"{WIDTH}\" height=\"{height}\"/>\n{}</svg>\n",
        style::STYLE,
        pen.finish(),
    )
}

/// Whether the node is ready, and why not. Returns where it ends.
fn headline(pen: &mut Pen, report: &Report, top: u32) -> u32 {
    let machine = &report.machine;
    let mut y = top + 18;
    let (class, text) = if report.ready { ("t head good", "Ready") } else { ("t head bad", "Not ready") };
    pen.text(MARGIN, y, class, text);
    let mut lines: Vec<&str> = report.reasons.iter().map(String::as_str).collect();
    if report.reasons.is_empty() || machine.iommu.works() {
        lines.insert(0, machine.iommu.sentence());
        if machine.iommu.interrupt_remapping == InterruptRemapping::On {
            lines.insert(1, "interrupts are remapped");
        }
    }
    for text in lines {
        for line in pen::broken(text, 165, 4) {
            y += 19;
            pen.text(MARGIN, y, "t", &line);
        }
    }
    if let Some(release) = &machine.kernel.release {
        y += 19;
        pen.text(MARGIN, y, "t dim", &format!("kernel {release}, {}", count(report.units.len(), "device")));
    }
    y + 8
}

/// What the colours mean, with how many there are of each. Returns where it ends.
fn legend(pen: &mut Pen, report: &Report, top: u32) -> u32 {
    let of = |verdict| report.units.iter().filter(|device| device.verdict == verdict).count();
    let mut x = MARGIN;
    for verdict in [Verdict::Free, Verdict::WithCompanions, Verdict::Vfio, Verdict::Stays] {
        let (class, words) = cards::colour(verdict);
        pen.rect(x, top, 14, 14, 4, class);
        let text = format!("{words} ({})", of(verdict));
        pen.text(x + 20, top + 12, "t small", &text);
        x += 20 + pen::width(&text, 12) + 24;
    }
    pen.rect(x, top, 14, 14, 4, "bridge");
    pen.text(x + 20, top + 12, "t small", "bridge");
    top + 18
}

/// A NUMA node with everything in it. Returns where it ends.
fn numa_node(pen: &mut Pen, report: &Report, node: &places::Node<'_>, top: u32) -> u32 {
    let (left, width) = (MARGIN, WIDTH - 2 * MARGIN);
    let begin = pen.mark();
    pen.text(left + GAP, top + 22, "t bold", &node.title);
    let mut y = top + 34;
    for complex in &node.complexes {
        let inner = pen.mark();
        let box_top = y;
        pen.text(left + 2 * GAP, box_top + 18, "t dim small", &complex.title);
        let mut flow = Flow::new(left + 2 * GAP, box_top + 28, width - 4 * GAP);
        for row in &complex.rows {
            let group = cards::Group::of(report, row);
            let (x, y) = flow.place(group.width(), group.height());
            group.draw(pen, x, y);
        }
        let height = flow.bottom() + GAP - box_top;
        pen.rect_at(inner, left + GAP, box_top, width - 2 * GAP, height, 8, "complex");
        y = box_top + height + GAP;
    }
    pen.rect_at(begin, left, top, width, y - top, 10, "numa");
    y
}
