// Bundles the page's code and style into src/fullint/documents/page, or into a folder that is named: node build.mjs [FOLDER]
import { build } from 'esbuild';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const to = process.argv[2] ?? join(here, '..', 'src', 'fullint', 'documents', 'page');

await build({
  absWorkingDir: here,
  entryPoints: ['src/main.js'],
  outfile: join(to, 'page.js'),
  bundle: true,
  minify: true,
  charset: 'ascii',
  format: 'iife',
  target: 'es2020',
  legalComments: 'none',
});
cpSync(join(here, 'src', 'page.css'), join(to, 'page.css'));

const named = ['@dagrejs/dagre', '@dagrejs/graphlib', 'preact'].map((name) => {
  const folder = join(here, 'node_modules', name);
  const { version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  return `${name} ${version} (${license})\n\n${readFileSync(join(folder, 'LICENSE'), 'utf8').trim()}\n`;
});
writeFileSync(join(to, 'page_licences.txt'), named.join('\n'));
