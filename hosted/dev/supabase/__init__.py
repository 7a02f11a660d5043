"""A double of Supabase Auth for development and tests, good enough for the official clients, unmodified.

    double = Double(Settings(url="http://127.0.0.1:9999", site_url="http://127.0.0.1:8000"))
    uvicorn.run(double.app, port=9999)

It keeps its state in memory or in one SQLite file and mails nobody: what it would send is read at `GET /dev/mails`.
It is no identity provider to run in public: anybody who reaches it may read those mails and rotate its keys.
"""

from hosted.dev.supabase.app import Double
from hosted.dev.supabase.settings import Settings

__all__ = ["Double", "Settings"]
