// How the pages are built, tested and served while they are written; nothing of this runs in production.
import tailwindcss from '@tailwindcss/vite';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

const server = process.env.MEET_AI_URL ?? 'http://127.0.0.1:3000';

export default defineConfig({
  plugins: [tailwindcss(), svelte()],
  build: {
    target: 'es2022',
    // A data: URL would be fine for the policy, a file is better for the cache.
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    chunkSizeWarningLimit: 700,
  },
  server: {
    proxy: {
      '/api': server,
      '/connection': { target: server, ws: true },
      '/emulation': server,
      '/openapi.json': server,
      '/presence': server,
      '/realtime': server,
    },
  },
  // Tests run the code of the browser, not that of a server.
  ...(process.env.VITEST ? { resolve: { conditions: ['browser'] } } : {}),
  test: {
    environment: 'jsdom',
    include: ['src/**/*.test.ts'],
    restoreMocks: true,
  },
});
