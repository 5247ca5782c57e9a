// The ways to the server that the SDKs know.
const WEBSOCKET = [
  { transport: 'websocket', protocol: 'json' },
  { transport: 'websocket', protocol: 'protobuf' },
];
const HTTP_STREAM = [
  { transport: 'http_stream', protocol: 'json' },
  { transport: 'http_stream', protocol: 'protobuf' },
];

export const PYTHON = WEBSOCKET;
export const RUST = [...WEBSOCKET, ...HTTP_STREAM];
export const JAVASCRIPT = [...RUST, { transport: 'sse', protocol: 'json' }];
