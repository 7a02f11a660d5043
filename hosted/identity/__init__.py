"""Who asks: tokens of the Supabase project, keys of this backend, and the end of an account."""
