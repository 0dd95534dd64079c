"""Files that a daemon reads and writes: nobody else's, whole or not at all."""

from __future__ import annotations

import os
import stat
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from refreeze.net.files import read_private, read_regular, write_private

SECRET = b"secret"


class PrivateFileTests(SynchronousTestCase):
    """A directory of its own for every test."""

    def setUp(self) -> None:
        self.directory = self.mktemp()
        os.mkdir(self.directory)
        self.path = os.path.join(self.directory, "file")

    def read(self) -> bytes:
        return read_private(self.path, 100)

    def assertRefused(self, why: str) -> None:
        self.assertIn(why, str(self.assertRaises(OSError, self.read)))

    def test_what_was_written_is_read(self) -> None:
        write_private(self.path, SECRET)
        self.assertEqual(self.read(), SECRET)
        self.assertEqual(read_private(self.path, 3), SECRET[:3])
        self.assertEqual(os.listdir(self.directory), ["file"])

    def test_its_mode_is_the_one_wanted_whatever_the_umask(self) -> None:
        for umask in (0, 0o777):
            before = os.umask(umask)
            try:
                write_private(self.path, SECRET)
                write_private(self.path + "2", SECRET, 0o640)
            finally:
                os.umask(before)
            self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)
            self.assertEqual(stat.S_IMODE(os.stat(self.path + "2").st_mode), 0o640)

    def test_the_old_content_stays_when_the_new_cannot_be_written(self) -> None:
        write_private(self.path, SECRET)
        with patch("os.fsync", side_effect=OSError(28, "No space left on device")):
            self.assertRaises(OSError, write_private, self.path, b"other")
        self.assertEqual(self.read(), SECRET)
        self.assertEqual(os.listdir(self.directory), ["file"])

    def test_what_somebody_left_or_put_in_the_way_is_not_written_to(self) -> None:
        elsewhere = os.path.join(self.directory, "elsewhere")
        os.symlink(elsewhere, self.path + ".new")
        write_private(self.path, SECRET)
        self.assertFalse(os.path.lexists(elsewhere))
        self.assertFalse(os.path.islink(self.path))

    def test_what_others_may_use_is_refused(self) -> None:
        write_private(self.path, SECRET)
        for mode in (0o640, 0o602, 0o604, 0o620):
            os.chmod(self.path, mode)
            self.assertRefused("others than its owner")

    def test_what_belongs_to_somebody_else_is_refused(self) -> None:
        write_private(self.path, SECRET)
        status = list(os.stat(self.path))
        status[4] += 1  # st_uid
        with patch("os.fstat", return_value=os.stat_result(status)):
            self.assertRefused("another user's")

    def test_what_belongs_to_the_directorys_owner_is_ours_too(self) -> None:
        write_private(self.path, SECRET)
        with patch("os.geteuid", return_value=os.geteuid() + 1):
            self.assertEqual(self.read(), SECRET)

    def test_what_is_no_regular_file_is_refused_at_once(self) -> None:
        self.assertRaises(FileNotFoundError, self.read)
        os.mkfifo(self.path, 0o600)
        self.assertRefused("not a regular file")
        os.unlink(self.path)
        os.mkdir(self.path)
        self.assertRefused("not a regular file")
        os.rmdir(self.path)
        write_private(self.path + "2", SECRET)
        os.symlink("file2", self.path)
        self.assertRaises(OSError, self.read)

    def test_no_descriptor_is_left_behind(self) -> None:
        os.mkdir(self.path)
        before = os.listdir("/proc/self/fd")
        for read in (read_private, read_regular):
            self.assertRaises(OSError, read, self.path, 1)
        self.assertRaises(OSError, write_private, self.path, SECRET)
        self.assertEqual(os.listdir("/proc/self/fd"), before)
