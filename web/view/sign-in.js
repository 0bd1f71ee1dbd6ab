import { ProblemError } from './client.js'
import { byId, el, rich } from './dom.js'
import { SignInError } from '../sign-in/flow.js'

/**
 * The form for a credential.
 *
 * @param {(credential: string) => Promise<void>} use resolves once the broker has accepted it; rejects with the error
 * @returns {{ show: (error?: unknown) => void, say: (text: string) => void, submit: (credential: string) => Promise<void> }}
 *   `show` shows the form, and why it is shown; `say` shows what happens; `submit` uses a credential that was not pasted
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
  /** @param {string} text */
  const say = text => problem.replaceChildren(el('p', {}, text))
  /** @param {string} credential */
  const submit = async credential => {
    if (!/^[\x21-\x7e]+$/.test(credential))
      return show(new Error('This is no credential: it has spaces or other characters.'))
    form.toggleAttribute('inert', true)
    say('Signing in …')
    try {
      await use(credential)
      problem.replaceChildren()
      section.hidden = true
      byId('main', HTMLElement).focus({ preventScroll: true })
    } catch (thrown) {
      form.toggleAttribute('inert', false)
      show(thrown)
    }
    form.toggleAttribute('inert', false)
  }
  form.addEventListener('submit', event => {
    event.preventDefault()
    // The field is empty before anything else happens: no form is sent, and nothing else has the credential.
    const credential = input.value.trim().replace(/^Bearer\s+/i, '')
    input.value = ''
    void submit(credential)
  })
  return { show, say, submit }
}

/**
 * An error of the broker, in words, with what to do.
 * @param {unknown} error
 * @returns {readonly Node[]}
 */
export function problemParts(error) {
  if (!(error instanceof ProblemError)) {
    const text = error instanceof Error ? error.message : String(error)
    const what = error instanceof SignInError ? 'The issuer did not sign you in. ' : 'The broker does not respond. '
    return [el('p', {}, el('strong', {}, what), text)]
  }
  const { title, status, detail = '', remedy, request_id } = error.problem
  const advice = [remedy, adviceFor(status)].filter(text => text !== undefined)
  return [
    el('p', {}, el('strong', {}, `${title} (${status}). `), detail),
    ...advice.map(text => el('p', {}, ...rich(text))),
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
