//! Lines over logarithmic axes, as SVG: what is linear rises by one decade in a decade.

use std::fmt::Write as _;

/// What a line says, and its points.
pub struct Line {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

/// Of the picture, and of what the axes enclose, in pixels.
const SIZE: (f64, f64) = (860.0, 480.0);
const LEFT: f64 = 70.0;
const RIGHT: f64 = 620.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 420.0;
/// Told apart without red and green (Okabe and Ito).
const COLORS: [&str; 7] =
    ["#0072b2", "#d55e00", "#000000", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

/// A range of whole decades on pixels.
struct Axis {
    decades: (f64, f64),
    pixels: (f64, f64),
}

impl Axis {
    fn of(values: impl Iterator<Item = f64> + Clone, pixels: (f64, f64)) -> Self {
        let least = values.clone().fold(f64::INFINITY, f64::min).log10().floor();
        let most = values.fold(f64::NEG_INFINITY, f64::max).log10().ceil();
        Self { decades: (least, most.max(least + 1.0)), pixels }
    }

    fn at(&self, value: f64) -> f64 {
        let part = (value.log10() - self.decades.0) / (self.decades.1 - self.decades.0);
        self.pixels.0 + part * (self.pixels.1 - self.pixels.0)
    }

    fn decades(&self) -> impl Iterator<Item = f64> {
        let (first, last) = self.decades;
        std::iter::successors(Some(first), |at| Some(at + 1.0))
            .take_while(move |at| *at <= last)
            .map(|at| 10_f64.powf(at))
    }
}

/// The picture of all lines.
pub fn svg(title: &str, (x_name, y_name): (&str, &str), lines: &[Line]) -> String {
    let points = || lines.iter().flat_map(|line| line.points.iter());
    let x = Axis::of(points().map(|point| point.0), (LEFT, RIGHT));
    let y = Axis::of(points().map(|point| point.1), (BOTTOM, TOP));
    let (width, height) = SIZE;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         font-family=\"system-ui,sans-serif\" font-size=\"13\" fill=\"#333\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n<text x=\"{LEFT}\" y=\"22\" font-size=\"15\">{title}</text>\n"
    );
    for value in x.decades() {
        let at = x.at(value);
        let _ = writeln!(
            svg,
            "<path d=\"M{at:.1} {TOP}V{BOTTOM}\" stroke=\"#ddd\"/><text x=\"{at:.1}\" y=\"440\" text-anchor=\"middle\">{value}</text>"
        );
    }
    for value in y.decades() {
        let at = y.at(value);
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {at:.1}H{RIGHT}\" stroke=\"#ddd\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>",
            LEFT - 8.0,
            at + 4.0
        );
    }
    let (middle, level) = (f64::midpoint(LEFT, RIGHT), f64::midpoint(TOP, BOTTOM));
    let _ = writeln!(svg, "<text x=\"{middle}\" y=\"464\" text-anchor=\"middle\">{x_name}</text>");
    let _ = writeln!(
        svg,
        "<text transform=\"translate(20 {level}) rotate(-90)\" text-anchor=\"middle\">{y_name}</text>"
    );
    for (nth, (line, color)) in lines.iter().zip(COLORS.iter().cycle()).enumerate() {
        let at: Vec<String> = line
            .points
            .iter()
            .map(|(vfs, time)| format!("{:.1} {:.1}", x.at(*vfs), y.at(*time)))
            .collect();
        let _ = writeln!(
            svg,
            "<path d=\"M{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>",
            at.join("L")
        );
        #[allow(clippy::cast_precision_loss)] // few lines
        let key = TOP + 14.0 + 22.0 * nth as f64;
        let _ = writeln!(
            svg,
            "<path d=\"M{} {}h22\" stroke=\"{color}\" stroke-width=\"2\"/><text x=\"{}\" y=\"{key}\">{}</text>",
            RIGHT + 16.0,
            key - 4.0,
            RIGHT + 44.0,
            line.name
        );
    }
    svg + "</svg>\n"
}
