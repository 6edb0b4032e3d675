//! The figures of every size, side by side.

use super::census::Census;
use super::layout::Layout;
use super::sends::{RECEIVERS, WAYS, Way, mean};

/// One kind of figure: a row for each routing, a column for each size.
pub struct Grid {
    pub title: String,
    pub unit: &'static str,
    /// Nodes of each column.
    pub nodes: Vec<u32>,
    pub rows: Vec<(String, Vec<f64>)>,
}

/// All sizes that were looked at.
#[derive(Default)]
pub struct Sizes(Vec<Size>);

struct Size {
    nodes: u32,
    census: Census,
    /// By receivers, then by way.
    sends: Vec<[f64; WAYS.len()]>,
}

/// What a row shows of one size.
type Cell = fn(&Size) -> f64;

const STATE: [(&str, Cell); 5] = [
    ("modulo", |_| 0.0),
    ("table: in the table", |size| size.census.devices as f64),
    ("master: at the master", |size| size.census.devices as f64),
    ("broadcast", |_| 0.0),
    ("slots: at a channel node", |size| size.census.most_routes as f64),
];

const JOINS_DEVICES: [(&str, Cell); 5] = [
    ("modulo", |size| size.census.percent(size.census.modulo_joins)),
    ("table", |_| 0.0),
    ("master", |_| 0.0),
    ("broadcast", |_| 0.0),
    ("slots", |_| 0.0),
];

const JOINS_ROUTES: [(&str, Cell); 6] = [
    ("modulo", |_| 0.0),
    ("table", |_| 0.0),
    ("master", |_| 0.0),
    ("broadcast", |_| 0.0),
    ("slots: a connector", |_| 0.0),
    ("slots: a channel node", |size| size.census.percent(size.census.routes_join)),
];

const DIES_DEVICES: [(&str, Cell); 7] = [
    ("modulo", |size| size.census.percent(size.census.modulo_dies)),
    ("table", on_node),
    ("master: another node", on_node),
    ("master: itself", |_| 0.0),
    ("broadcast", on_node),
    ("slots: a connector", |size| size.census.percent(size.census.on_connector)),
    ("slots: a channel node", |_| 0.0),
];

const DIES_ROUTES: [(&str, Cell); 7] = [
    ("modulo", |_| 0.0),
    ("table", on_node),
    ("master: another node", on_node),
    ("master: itself", |_| 100.0),
    ("broadcast", |_| 0.0),
    ("slots: a connector", |size| size.census.percent(size.census.on_connector)),
    ("slots: a channel node", |size| size.census.percent(size.census.routes_die)),
];

const DIES_SENDS: [(&str, Cell); 7] = [
    ("modulo: refused", |size| size.census.percent(size.census.modulo_dies)),
    ("table: refused", on_node),
    ("master: held", on_node),
    ("master itself: held", |_| 100.0),
    ("broadcast: lost", on_node),
    ("slots, connector: stored", |size| size.census.percent(size.census.on_connector)),
    ("slots, channel node: held", |size| 100.0 * size.census.slots_die),
];

fn on_node(size: &Size) -> f64 {
    size.census.percent(size.census.on_node)
}

impl Sizes {
    /// Counts everything for a cluster of this size.
    pub fn add(&mut self, nodes: u32, devices: u64, seed: u64) {
        let layout = Layout::new(nodes);
        let of = |receivers| WAYS.map(|way| mean(&layout, way, devices, receivers, seed));
        let sends = RECEIVERS.into_iter().map(of).collect();
        self.0.push(Size { nodes, census: Census::take(&layout, devices), sends });
    }

    /// What was counted, one grid for each kind of figure.
    pub fn grids(&self) -> Vec<Grid> {
        let mut grids: Vec<Grid> = (0..RECEIVERS.len()).map(|at| self.sends(at)).collect();
        let devices = self.0.iter().map(|size| size.census.devices).max().unwrap_or_default();
        let percent = "% of all";
        grids.extend([
            self.grid(format!("routes kept in one place, up to {devices} devices"), "routes", &STATE),
            self.grid("a node joins: devices that have to connect anew".into(), percent, &JOINS_DEVICES),
            self.grid("a node joins: routes that are told anew".into(), percent, &JOINS_ROUTES),
            self.grid("a node dies: devices that have to connect anew".into(), percent, &DIES_DEVICES),
            self.grid("a node dies: routes that are told anew".into(), percent, &DIES_ROUTES),
            self.grid("a node dies: sends that reach nobody until then".into(), percent, &DIES_SENDS),
        ]);
        grids
    }

    fn sends(&self, at: usize) -> Grid {
        let title = match RECEIVERS[at] {
            1 => "one to one".to_owned(),
            receivers => format!("to a group of {receivers}"),
        };
        let column = |way: usize| self.0.iter().map(|size| size.sends[at][way]).collect();
        let rows = WAYS.iter().zip(0..).map(|(way, number)| (name(*way).to_owned(), column(number)));
        Grid { title, unit: "messages a send", nodes: self.nodes(), rows: rows.collect() }
    }

    fn grid(&self, title: String, unit: &'static str, rows: &[(&str, Cell)]) -> Grid {
        let row = |(name, cell): &(&str, Cell)| ((*name).to_owned(), self.0.iter().map(cell).collect());
        Grid { title, unit, nodes: self.nodes(), rows: rows.iter().map(row).collect() }
    }

    fn nodes(&self) -> Vec<u32> {
        self.0.iter().map(|size| size.nodes).collect()
    }
}

fn name(way: Way) -> &'static str {
    match way {
        Way::Modulo => "modulo",
        Way::Table => "table",
        Way::Master => "master",
        Way::Broadcast => "broadcast",
        Way::Slots => "slots",
    }
}
