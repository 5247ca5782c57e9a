// What the documents hold that can be run.

/** The fenced blocks of one language. */
export function blocks(markdown, language) {
  return [...markdown.matchAll(/^```(\S*)\n([\s\S]*?)^```$/gm)].filter((match) => match[1] === language).map((match) => match[2]);
}
