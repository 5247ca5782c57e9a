// Dark or light: the system's choice, unless somebody made one here. `public/theme.js` applies a choice
// before the first paint; this changes it.

import { local } from './storage';

export type Theme = 'system' | 'light' | 'dark';

const KEY = 'meet-ai-theme';
const ORDER: Theme[] = ['system', 'light', 'dark'];

function stored(): Theme {
  const value = local.get(KEY);
  return value === 'light' || value === 'dark' ? value : 'system';
}

class ThemeChoice {
  value = $state<Theme>(stored());

  set(theme: Theme): void {
    this.value = theme;
    if (theme === 'system') {
      local.remove(KEY);
      delete document.documentElement.dataset.theme;
    } else {
      local.set(KEY, theme);
      document.documentElement.dataset.theme = theme;
    }
  }

  next(): void {
    this.set(ORDER[(ORDER.indexOf(this.value) + 1) % ORDER.length]!);
  }
}

export const theme = new ThemeChoice();
