import { membersOf } from '../../src/broker/lib/json-members.ts'

/** The line before and behind the table of parameters in infra/README.md. */
export const tableMarks = ['<!-- parameters: written by npm run infra -->', '<!-- end -->'] as const

/** The table of the parameters of the compiled main.bicep, as Markdown. */
export function parameterTable(compiled: unknown): string {
  const rows = Object.entries(membersOf(membersOf(compiled)['parameters'])).map(([name, value]) => {
    const parameter = membersOf(value)
    const { description } = membersOf(parameter['metadata'])
    return `| \`${name}\` | ${defaultText(parameter)} | ${String(description).replaceAll('|', '\\|')} |`
  })
  return ['| parameter | default | meaning |', '|---|---|---|', ...rows].join('\n')
}

function defaultText({ type, defaultValue }: Readonly<Record<string, unknown>>): string {
  if (defaultValue === undefined) return 'required'
  const text = typeof defaultValue === 'string' ? defaultValue : JSON.stringify(defaultValue)
  if (text === '' || text === '{}' || text === '[]') return type === 'securestring' ? '– (secret)' : '–'
  // An expression such as [format('{0}-identity', parameters('name'))]
  const [, end = ''] = /^\[format\('\{0\}(.*)', parameters\('name'\)\)\]$/.exec(text) ?? []
  if (text.startsWith('['))
    return end === '' ? (text === "[parameters('name')]" ? '`name`' : "the deployment's") : `\`name\` and \`${end}\``
  return `\`${text}\``
}

/** A text with the table between its marks. */
export function withTable(text: string, compiled: unknown): string {
  const [start, end] = tableMarks
  const [before, rest] = text.split(`${start}\n`)
  const after = rest?.split(`${end}\n`)[1]
  if (before === undefined || after === undefined) throw new Error(`the marks ${tableMarks.join(' and ')} are missing`)
  return `${before}${start}\n\n${parameterTable(compiled)}\n\n${end}\n${after}`
}
