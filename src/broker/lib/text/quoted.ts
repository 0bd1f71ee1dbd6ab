import { redactCredentials } from './credential-shapes.ts'

/** What a terminal or an editor obeys instead of showing it. JSON itself escapes only those below U+0020. */
const controls = /[\u007f-\u009f\p{Cf}\p{Zl}\p{Zp}]/gu

/**
 * Escapes control characters, format characters (bidirectional controls, zero-width characters) and line separators in
 * a finished line of JSON as `\uXXXX`. The line means the same and looks like what it means: a subject can neither
 * reorder the text around it nor look like another.
 */
export const escapeControls = (line: string): string =>
  line.replace(controls, found =>
    Array.from({ length: found.length }, (_, nth) => {
      const unit = found.charCodeAt(nth).toString(16)
      return `\\u${unit.padStart(4, '0')}`
    }).join(''),
  )

/** A text for a terminal: without credentials, and with its control characters escaped, except for line breaks. */
export const printable = (text: string): string =>
  redactCredentials(text)
    .split('\n')
    .map(line => escapeControls(line.replace(/\p{Cc}/gu, found => JSON.stringify(found).slice(1, -1))))
    .join('\n')

/** Characters of a value that is repeated, unless its form allows more. */
const longestValue = 256

/**
 * Writes a value that a stranger chose in quotes, for a sentence in an error: without credentials, with the escapes of
 * JSON and of {@link escapeControls}, and not longer than `longest` characters between the quotes.
 */
export function quoted(value: string, longest = longestValue): string {
  const clean = redactCredentials(value)
  // Longer by escapes is as good as longer.
  const whole = clean.length <= longest ? escapeControls(JSON.stringify(clean)) : ''
  if (whole !== '' && whole.length <= longest + 2) return whole
  let shown = ''
  for (const character of clean.slice(0, longest)) {
    const written = escapeControls(JSON.stringify(character)).slice(1, -1)
    if (shown.length + written.length > longest) break
    shown += written
  }
  return `"${shown}" (shortened)`
}

/**
 * A copy of the beginning of a text, without credentials, for a field of the log. It keeps nothing of a longer text in
 * memory, as a slice of it would.
 */
export const beginningOf = (value: string, longest = longestValue): string =>
  Buffer.from(redactCredentials(value).slice(0, longest)).toString()
