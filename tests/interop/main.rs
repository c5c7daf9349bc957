//! The HTTP API, case by case, against real Consul 1.8.7 and against crs: `CRS_TEST_SUBJECT=consul|crs`.
//!
//! A case is first proven on Consul; what it says then binds crs. Where crs differs on purpose, the case asks
//! [`common::differs`] with the name of a row of `docs/compatibility.md`, and holds each side to its own answer.

// every item here is a test or shared by tests: an unwrap is an assertion, and nothing is exported
#![allow(clippy::unwrap_used, unreachable_pub)]

mod agent;
mod agent_checks;
mod agent_health;
mod agent_services;
mod blocking;
mod catalog;
mod commands;
mod common;
mod consistency;
mod deviations;
mod filter;
mod health;
mod http_config;
mod kv;
mod routes;
mod rules;
mod seeds;
mod status;
