import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Answer {
  readonly value?: unknown
  readonly error?: { readonly code: string; readonly message: string }
}

/** Creates a temporary folder, and starts processes that use a store in it. */
export async function openFolder() {
  const base = await mkdtemp(join(tmpdir(), 'dir-cert-cache-'))
  const children: ChildProcess[] = []
  const path = join(base, 'certificates')
  return {
    base,
    path,
    /** @param options.descriptors the number of file descriptors that the process may use */
    async machine(options: { env?: Record<string, string>; descriptors?: number } = {}) {
      const env = { ...process.env, ...options.env }
      const limit = options.descriptors !== undefined && {
        execPath: 'prlimit',
        execArgv: [`--nofile=${options.descriptors}`, process.execPath],
      }
      const child = fork(new URL('machine.js', import.meta.url), [path], { env, execArgv: [], ...limit })
      children.push(child)
      await once(child, 'message')
      const ask = async (task: object): Promise<Answer> => {
        child.send(task)
        const [answer] = await once(child, 'message')
        return answer as Answer
      }
      const kill = async () => {
        if (child.exitCode !== null || child.signalCode !== null) return
        const exited = once(child, 'exit')
        child.kill('SIGKILL')
        await exited
      }
      return { child, ask, kill }
    },
    async close() {
      for (const child of children) {
        if (child.exitCode !== null || child.signalCode !== null) continue
        const exited = once(child, 'exit')
        child.kill('SIGKILL')
        await exited
      }
      await rm(base, { recursive: true, force: true })
    },
  }
}
