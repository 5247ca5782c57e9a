// Svelte's compiler: runes everywhere, styles as files (the content policy takes no inline ones).
import { vitePreprocess } from '@sveltejs/vite-plugin-svelte';

export default {
  preprocess: vitePreprocess(),
  compilerOptions: { runes: true },
};
