//! `Coordinate`: where nodes are in the network.

use crs_types::{Datacenter, NodeName};

use crate::blocks::{DatacenterRead, NodeRead, ReplyMeta, WriteOptions};
use crate::codec::record;
use crate::methods::methods;

record! {
    /// A place in the network, in seconds.
    pub struct Place {
        "Vec" vec: Vec<f64>,
        "Error" error: f64,
        "Adjustment" adjustment: f64,
        "Height" height: f64,
    }

    /// Where a node is.
    pub struct Coordinate {
        "Node" node: NodeName,
        "Segment" segment: String,
        "Coord" place: Option<Place>,
    }

    /// What an agent learned of its own place.
    pub struct UpdateRequest {
        "Datacenter" datacenter: Datacenter,
        "Node" node: NodeName,
        "Segment" segment: String,
        "Coord" place: Option<Place>,
        ..options: WriteOptions,
    }

    /// Where nodes are.
    pub struct Coordinates {
        "Coordinates" coordinates: Vec<Coordinate>,
        ..meta: ReplyMeta,
    }

    /// Where the servers of a datacenter are.
    pub struct DatacenterMap {
        "Datacenter" datacenter: Datacenter,
        /// `wan`.
        "AreaID" area_id: String,
        "Coordinates" coordinates: Vec<Coordinate>,
    }
}

methods! {
    /// Reports an agent's place.
    Update = "Coordinate.Update", Write, UpdateRequest => ();
    /// Servers of all datacenters.
    ListDatacenters = "Coordinate.ListDatacenters", Read, () => Vec<DatacenterMap>;
    /// All nodes.
    ListNodes = "Coordinate.ListNodes", Read, DatacenterRead => Coordinates;
    /// One node.
    Node = "Coordinate.Node", Read, NodeRead => Coordinates;
}
