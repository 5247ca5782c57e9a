// Sets the chosen theme before the first paint; without a choice the style sheet follows the system.
(function () {
  try {
    var theme = localStorage.getItem('meet-ai-theme');
    if (theme === 'dark' || theme === 'light') document.documentElement.dataset.theme = theme;
  } catch (e) {
    // No storage: follow the system.
  }
})();
