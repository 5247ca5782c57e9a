//! Metrics: one recorder for the process, and what is measured when somebody looks. No label names a
//! room, a tenant or a user.

use std::{sync::OnceLock, time::Duration};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::app::App;

/// How often what was measured is summed up, whether or not anybody looks.
const KEEP_UP_EVERY: Duration = Duration::from_secs(5);

static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Installs the process's recorder; further calls change nothing.
pub(crate) fn install() {
    RECORDER.get_or_init(|| {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).ok().map(|()| handle)
    });
}

/// Sums up what was measured; without it the recorder keeps every single measurement.
pub(crate) async fn keep_up() {
    loop {
        tokio::time::sleep(KEEP_UP_EVERY).await;
        if let Some(Some(handle)) = RECORDER.get() {
            handle.run_upkeep();
        }
    }
}

/// The metrics as Prometheus reads them.
pub(crate) fn render(app: &App) -> String {
    #[expect(clippy::cast_precision_loss, reason = "no server holds 2^52 connections, or bytes")]
    {
        metrics::gauge!("meet_connections").set(app.hub().connections() as f64);
        metrics::gauge!("meet_queued_bytes").set(app.hub().queued_bytes() as f64);
    }
    match RECORDER.get() {
        Some(Some(handle)) => {
            handle.run_upkeep();
            handle.render()
        }
        _ => String::new(),
    }
}
