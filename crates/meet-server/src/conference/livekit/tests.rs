//! A provider against a stand-in of LiveKit.
