import { execFileSync } from 'node:child_process'
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

function run(command: string, ...args: string[]): void {
  try {
    execFileSync(command, args, { stdio: 'pipe' })
  } catch (cause) {
    throw new Error(`"${command}" failed. These tests mount file systems: run them as root.`, { cause })
  }
}

/** Creates a mount point that belongs to root, and mounts a file system of memory on it. */
export async function openMount({ size }: { size: string }) {
  const base = await mkdtemp(join(tmpdir(), 'mount-'))
  const [path, source] = [join(base, 'mounted'), join(base, 'file-system')]
  // Other users may pass, but write nothing below the mount point.
  await chmod(base, 0o755)
  for (const folder of [path, source]) await mkdir(folder, { mode: 0o755 })
  /** The folders on which something is mounted, the last one first. */
  const mounts: string[] = []
  const mount = (folder: string, ...args: string[]) => {
    run('mount', ...args, folder)
    mounts.unshift(folder)
  }
  const create = () => mount(source, '-t', 'tmpfs', '-o', `size=${size},mode=700`, 'none')
  const attach = () => mount(path, '--bind', source)
  create()
  attach()
  return {
    /** The mount point. */
    path,
    /** Where the file system stays mounted. */
    source,
    attach,
    /** Unmounts the file system at once, even if files are open. */
    detach() {
      run('umount', '-l', path)
      mounts.splice(mounts.indexOf(path), 1)
    },
    /** Replaces the file system by a copy of it, which has another device number. */
    copy() {
      run('cp', '-a', source, join(base, 'copy'))
      // The former one stays mounted below, so that its device number is not used again.
      create()
      run('cp', '-a', `${join(base, 'copy')}/.`, source)
    },
    /** Gives the file system and everything in it to another user. */
    giveTo: (uid: number) => run('chown', '-R', String(uid), source),
    async close() {
      for (const folder of mounts) run('umount', '-l', folder)
      await rm(base, { recursive: true })
    },
  }
}
