import { ProblemError } from './client.js'
import { byId, el, rich } from './dom.js'

/**
 * The form for a credential.
 *
 * @param {(credential: string) => Promise<void>} use resolves once the broker has accepted it; rejects with the error
 * @returns {{ show: (error?: unknown) => void }} `show` shows the form, and why it is shown
 */
export function createSignIn(use) {
  const section = byId('sign-in', HTMLElement)
  const form = byId('sign-in-form', HTMLFormElement)
  const input = byId('credential', HTMLInputElement)
  const problem = byId('sign-in-problem', HTMLElement)
  /** @param {unknown} [error] */
  const show = error => {
    input.value = ''
    section.hidden = false
    problem.replaceChildren(...(error === undefined ? [] : problemParts(error)))
    input.focus()
  }
  const submit = async () => {
    // The field is empty before anything else happens: no form is sent, and nothing else has the credential.
    const credential = input.value.trim().replace(/^Bearer\s+/i, '')
    input.value = ''
    if (!/^[\x21-\x7e]+$/.test(credential))
      return show(new Error('This is no credential: it has spaces or other characters.'))
    form.toggleAttribute('inert', true)
    problem.replaceChildren(el('p', {}, 'Signing in …'))
    try {
      await use(credential)
      problem.replaceChildren()
      section.hidden = true
      byId('main', HTMLElement).focus()
    } catch (thrown) {
      form.toggleAttribute('inert', false)
      show(thrown)
    }
    form.toggleAttribute('inert', false)
  }
  form.addEventListener('submit', event => {
    event.preventDefault()
    void submit()
  })
  return { show }
}

/**
 * An error of the broker, in words, with what to do.
 * @param {unknown} error
 * @returns {readonly Node[]}
 */
export function problemParts(error) {
  if (!(error instanceof ProblemError)) {
    const text = error instanceof Error ? error.message : String(error)
    return [el('p', {}, el('strong', {}, 'The broker does not respond. '), text)]
  }
  const { title, status, detail = '', remedy, request_id } = error.problem
  const advice = remedy ?? adviceFor(status)
  return [
    el('p', {}, el('strong', {}, `${title} (${status}). `), detail),
    ...(advice === undefined
      ? []
      : [el('p', {}, ...rich(advice).filter(part => part instanceof Node || typeof part === 'string'))]),
    ...(request_id === undefined
      ? []
      : [el('p', { class: 'help' }, `Request ${request_id} in the log of the broker.`)]),
  ]
}

/** @param {number} status */
function adviceFor(status) {
  if (status === 401) return 'Sign in again, with a credential that is valid now.'
  if (status === 403) return 'Sign in with a credential to which a rule of the policy gives the permission `observe`.'
  return undefined
}
