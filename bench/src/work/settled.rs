//! A run that is done again where other processes kept the machine busy meanwhile.

use super::{Settings, Work};
use crate::measure::figures::{Figures, name};

/// Share of all processors that others may take, in percent.
pub const MOST_OTHERS: f64 = 20.0;

/// Performs some work until others took little enough, at most `again` times more; the calmest run's figures.
///
/// # Errors
/// As [`Work::perform`].
pub fn perform(label: &str, work: &Work, settings: &Settings) -> anyhow::Result<Figures> {
    let mut best: Option<Figures> = None;
    for turn in 0..=settings.again {
        let figures = work.perform(settings)?;
        let others = |figures: &Figures| figures.get(name::OTHERS).unwrap_or_default();
        let took = others(&figures);
        if best.as_ref().is_none_or(|best| took < others(best)) {
            best = Some(figures);
        }
        if took <= MOST_OTHERS {
            break;
        }
        let next = if turn < settings.again { "once more" } else { "kept as it is" };
        println!("{label:22} others took {took:.0} % of the machine: {next}");
    }
    best.ok_or_else(|| anyhow::anyhow!("nothing was run"))
}
