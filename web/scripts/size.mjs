// Fails the build when the first load (the page and all that it names) is over 100 KB gzipped.
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

const LIMIT = 100_000;
const dist = new URL('../dist/', import.meta.url).pathname;
const html = readFileSync(`${dist}index.html`, 'utf8');
const named = [...html.matchAll(/(?:src|href)="\/([^"]+)"/g)].map((match) => match[1]);

let total = 0;
for (const file of ['index.html', ...new Set(named)]) {
  const size = gzipSync(readFileSync(dist + file), { level: 9 }).length;
  total += size;
  console.log(`${String(size).padStart(7)}  ${file}`);
}
console.log(`${String(total).padStart(7)}  first load, gzipped (limit ${LIMIT})`);
if (total > LIMIT) {
  console.error('The first load is over its limit.');
  process.exit(1);
}
