// Which crate may know which: the map of ARCHITECTURE.md, held against what cargo says.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

// Every crate and the crates that it may depend on; a crate that is not here fails the test.
const ALLOWED = {
  'meet-api': [],
  'meet-centrifuge': [],
  'meet-livekit': [],
  'meet-store': ['meet-api'],
  'meet-server': ['meet-api', 'meet-centrifuge', 'meet-livekit', 'meet-store'],
  'meet-ai': ['meet-api', 'meet-server'],
};
// May depend on anything, and nothing may depend on them.
const OUTSIDE = ['meet-bench', 'meet-fuzz'];
// The vocabulary of the wire: no runtime, no socket.
const LEAVES = ['meet-api', 'meet-centrifuge', 'meet-livekit'];
const NOT_IN_A_LEAF = ['tokio', 'mio', 'socket2', 'hyper', 'axum', 'reqwest', 'rustls', 'async-std', 'smol'];

const root = fileURLToPath(new URL('..', import.meta.url));
const metadata = JSON.parse(
  execFileSync('cargo', ['metadata', '--format-version', '1', '--locked', '--offline', '--filter-platform', hostTriple()], {
    cwd: root,
    maxBuffer: 256 * 1024 * 1024,
  }),
);
const packages = new Map(metadata.packages.map((entry) => [entry.id, entry]));
const nodes = new Map(metadata.resolve.nodes.map((node) => [node.id, node]));
const members = metadata.workspace_members.map((id) => packages.get(id));

function hostTriple() {
  const verbose = execFileSync('rustc', ['-vV'], { encoding: 'utf8' });
  return /^host: (.+)$/m.exec(verbose)[1];
}

/** The packages that one is built from: normal and build dependencies, not those of its tests. */
function dependencies(id) {
  return nodes.get(id).deps.filter((dep) => dep.dep_kinds.some(({ kind }) => kind !== 'dev')).map((dep) => dep.pkg);
}

test('each crate depends on the crates that the map allows, and on no other of the workspace', () => {
  const names = new Set(members.map((member) => member.name));
  assert.deepEqual([...names].sort(), [...Object.keys(ALLOWED), ...OUTSIDE].sort(), 'a crate is not on the map');
  for (const member of members) {
    if (OUTSIDE.includes(member.name)) continue;
    const edges = dependencies(member.id).map((id) => packages.get(id).name).filter((name) => names.has(name));
    for (const edge of edges) {
      assert.ok(ALLOWED[member.name].includes(edge), `${member.name} must not depend on ${edge}`);
    }
  }
});

test('a leaf is built without a runtime or a socket', () => {
  for (const leaf of members.filter((member) => LEAVES.includes(member.name))) {
    const seen = new Set();
    const waiting = [leaf.id];
    while (waiting.length > 0) {
      const id = waiting.pop();
      if (seen.has(id)) continue;
      seen.add(id);
      waiting.push(...dependencies(id));
    }
    const names = [...seen].map((id) => packages.get(id).name);
    assert.deepEqual(names.filter((name) => NOT_IN_A_LEAF.includes(name)), [], `in the tree of ${leaf.name}`);
  }
});
