//! The simulated hours as a picture.

use std::path::{Path, PathBuf};

use plotters::prelude::{
    ChartBuilder, IntoDrawingArea as _, IntoFont as _, LineSeries, PathElement, RGBColor, SVGBackend,
    SeriesLabelPosition, WHITE,
};
use plotters::style::{BLACK, Color as _};
use thiserror::Error;

use super::scaling::Hour;

/// Size of the picture in pixels.
const SIZE: (u32, u32) = (900, 420);
/// Seconds between two points of a line.
const STEP: usize = 10;
/// Colours that differ for people who see no difference between red and green (Okabe and Ito).
const COLOURS: [RGBColor; 5] = [
    RGBColor(213, 94, 0),
    RGBColor(0, 114, 178),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(90, 90, 90),
];

/// Why there is no picture.
#[derive(Debug, Error)]
#[error("{}: {reason}", path.display())]
pub struct PlotError {
    path: PathBuf,
    reason: String,
}

/// Draws the lag of `hours` into `path`, as SVG.
///
/// # Errors
/// [`PlotError`] if it can't be written.
pub fn draw(hours: &[Hour], path: &Path) -> Result<(), PlotError> {
    draw_lines(hours, path).map_err(|error| PlotError { path: path.to_owned(), reason: error.to_string() })
}

fn draw_lines(hours: &[Hour], path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let highest = hours.iter().flat_map(|hour| hour.lag.iter().copied()).fold(1.0, f64::max);
    let (unit, name) =
        if highest >= 1e6 { (1e6, "millions of events") } else { (1e3, "thousands of events") };
    let minutes = 60.0;
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(
            "Simulated: events in Kafka that are not indexed, ten bad minutes in an hour",
            ("sans-serif", 17).into_font(),
        )
        .margin(14)
        .x_label_area_size(38)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..minutes, 0.0..highest / unit * 1.05)?;
    chart
        .configure_mesh()
        .x_desc("minutes")
        .y_desc(name)
        .x_labels(7)
        .x_label_formatter(&|minute| format!("{minute:.0}"))
        .y_label_formatter(&|events| format!("{events:.0}"))
        .light_line_style(WHITE)
        .draw()?;
    for (hour, colour) in hours.iter().zip(COLOURS) {
        let points = hour.lag.iter().enumerate().step_by(STEP).filter_map(|(second, lag)| {
            u32::try_from(second).ok().map(|second| (f64::from(second) / 60.0, lag / unit))
        });
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
            .label(hour.scenario.name)
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::MiddleRight)
        .background_style(WHITE)
        .border_style(BLACK.mix(0.3))
        .draw()?;
    area.present()?;
    Ok(())
}
